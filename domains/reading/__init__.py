"""Files as they are: tables, cells, text encodings and pictures. What they mean is for other rooms."""
