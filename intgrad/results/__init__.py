"""What `intgrad explain` leaves behind: records, arrays, and the folder that holds them."""
