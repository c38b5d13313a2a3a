//! Scenarios across the libraries, in one binary.

mod conformance;
