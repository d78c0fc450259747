"""Where a network runs. Each runtime takes uint8 crops and gives logits and features."""
