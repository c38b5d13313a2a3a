//! Scenarios across the libraries, in one binary.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tidy;
