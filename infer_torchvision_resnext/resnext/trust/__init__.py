"""What an answer may promise, and what it rests on."""
