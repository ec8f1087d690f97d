"""The LightningModule and what the Trainer needs beside it. No mathematics."""
