"""What inference and training share: parameter schema, images, preprocessing, architecture, model folder.

The folder is carried byte-identical by both plugins, since the HUB publishes each alone. It imports neither
Ikomia nor Qt, and torch only inside the functions that need it.
"""
