"""The membership protocol: SWIM, Lifeguard and Serf on memberlist's wire, as a pure state machine."""
