"""A million pictures: archives to Parquet, on all cores or on a Ray cluster. Needs the extra 'batch'."""
