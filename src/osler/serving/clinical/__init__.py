"""What clinical systems ask through: FHIR R4 and CDS Hooks 2.0."""
