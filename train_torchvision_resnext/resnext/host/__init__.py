"""What the host is shown: parameters, forms, text."""
