use crate::Result;

/// Seals and opens the secrets of one account.
#[derive(Clone)]
pub struct Sealer;

impl Sealer {
    /// Encrypts `plain` so that it opens only in this account and in the same `context`.
    pub fn seal(&self, _context: &str, _plain: &[u8]) -> Vec<u8> {
        todo!()
    }

    /// Decrypts what [`Sealer::seal`] made in the same `context`.
    pub fn open(&self, _context: &str, _sealed: &[u8]) -> Result<Vec<u8>> {
        todo!()
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(..)")
    }
}
