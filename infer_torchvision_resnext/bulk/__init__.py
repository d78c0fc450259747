"""Any number of images → a table of answers, on one machine or many, that goes on where it was interrupted."""
