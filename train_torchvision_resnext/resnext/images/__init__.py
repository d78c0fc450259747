"""Files and arrays → RGB pixels → the square that a network sees."""
