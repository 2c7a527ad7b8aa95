"""Records out of files: tables, JSON, FHIR, phenopackets, datasets of the Hub."""
