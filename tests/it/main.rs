//! One binary for all in-process tests; each module is one promise of the product.
