"""What a ResNeXt is and computes, in torch and in the formats of other runtimes."""
