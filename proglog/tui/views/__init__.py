"""What the screens say: functions from the state to lines and rows. No widget, no colour, no clock."""
