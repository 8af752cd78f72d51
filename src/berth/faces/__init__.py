"""Who calls us: one folder for each wire format. Faces translate; core decides."""
