"""Everything from a web page: datasets, trainings, searches, models, what runs and what came of it."""
