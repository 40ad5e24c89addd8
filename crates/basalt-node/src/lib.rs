//! Observed node and wanted node to a node plan.
