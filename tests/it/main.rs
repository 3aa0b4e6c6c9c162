//! The one integration binary: every module is one subject.
