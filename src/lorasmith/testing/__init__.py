"""What tests of lorasmith and of its plug-ins are built from."""
