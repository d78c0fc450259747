"""What builds the packages and keeps the READMEs and icons true."""
