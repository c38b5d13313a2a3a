//! The damage matrix: what becomes of a restore and of the next backup when something in the store is not what was
//! written. Never wrong bytes, never a panic; what is wrong is named.
