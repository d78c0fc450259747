"""What a ResNeXt is, costs and computes."""
