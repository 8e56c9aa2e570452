"""What is shown beside the panels: functions from the state to lines and rows. No widget, no colour, no clock."""
