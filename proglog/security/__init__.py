"""TLS, the subject of a certificate, and what a subject may do."""
