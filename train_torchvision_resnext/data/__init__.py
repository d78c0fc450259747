"""A folder of images → audited, split samples → batches."""
