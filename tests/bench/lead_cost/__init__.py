"""What a lead costs the gateway's process: instructions and processor time, without sockets and broker."""
