//! Merkle trees as in RFC 6962, section 2.1.

use preloop_types::Hash;

/// The hash of one leaf.
pub(crate) fn leaf(data: &Hash) -> Hash {
    Hash::of_parts(&[&[0], &data.0])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Hash::of_parts(&[&[1], &left.0, &right.0])
}

/// A tree that grows one leaf at a time and keeps only the roots of its complete subtrees.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Complete subtrees from the left, largest first: one for each bit set in `leaves`.
    peaks: Vec<Hash>,
    leaves: u64,
}

impl Tree {
    /// Adds a leaf over `data`.
    pub fn push(&mut self, data: &Hash) {
        let mut right = leaf(data);
        for _ in 0..self.leaves.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                right = node(&left, &right);
            }
        }
        self.peaks.push(right);
        self.leaves += 1;
    }

    /// How many leaves it has.
    pub fn leaves(&self) -> u64 {
        self.leaves
    }

    /// Its root; that of an empty tree is the hash of nothing.
    pub fn root(&self) -> Hash {
        let folded = self.peaks.iter().rev().copied().reduce(|right, left| node(&left, &right));
        folded.unwrap_or_else(|| Hash::of([]))
    }
}

/// The hashes that lead from the leaf at `index` to the root over `leaves`, nearest first.
pub(crate) fn path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let split = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(split);
    let (mut path, other) =
        if index < split { (self::path(left, index), right) } else { (self::path(right, index - split), left) };
    path.push(root(other));
    path
}

/// The root over `leaves`.
pub(crate) fn root(leaves: &[Hash]) -> Hash {
    let mut tree = Tree::default();
    for data in leaves {
        tree.push(data);
    }
    tree.root()
}

/// The root that `path` leads to from a leaf over `data`; `None` if the path has the wrong length.
pub(crate) fn climb(data: &Hash, index: u64, leaves: u64, path: &[Hash]) -> Option<Hash> {
    if index >= leaves {
        return None;
    }
    // RFC 9162, section 2.1.3.2: the same tree, the algorithm spelled out.
    let (mut place, mut last, mut hash) = (index, leaves - 1, leaf(data));
    for sibling in path {
        if last == 0 {
            return None;
        }
        if place & 1 == 1 || place == last {
            hash = node(sibling, &hash);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(n: usize) -> Vec<Hash> {
        (0..n).map(|i| Hash::of(i.to_be_bytes())).collect()
    }

    /// The definition in RFC 6962, word for word.
    fn defined(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::of([]),
            [one] => leaf(one),
            many => {
                let mut k = 1;
                while k * 2 < many.len() {
                    k *= 2;
                }
                node(&defined(&many[..k]), &defined(&many[k..]))
            }
        }
    }

    #[test]
    fn the_growing_tree_agrees_with_the_definition() {
        for n in 0..70 {
            assert_eq!(root(&leaves(n)), defined(&leaves(n)), "{n} leaves");
        }
    }

    #[test]
    fn every_leaf_climbs_to_the_root_and_no_other_does() {
        for n in 1..40_usize {
            let leaves = leaves(n);
            let root = root(&leaves);
            for i in 0..n {
                let path = path(&leaves, i);
                assert_eq!(climb(&leaves[i], i as u64, n as u64, &path), Some(root), "leaf {i} of {n}");
                assert_ne!(climb(&Hash::of("other"), i as u64, n as u64, &path), Some(root));
                assert_ne!(climb(&leaves[i], i as u64 + 1, n as u64, &path), Some(root), "leaf {i} of {n} moved");
            }
        }
    }
}
