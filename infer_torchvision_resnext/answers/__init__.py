"""From logits and features to predictions, and the decision for or against an answer."""
