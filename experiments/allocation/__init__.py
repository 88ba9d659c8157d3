"""Who decides how many samples a problem gets: what is measured beside `experiment=allocation`."""
