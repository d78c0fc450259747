"""What this machine has, and how libraries are kept from misusing it."""
