//! Changes of a SQLite file.

use std::path::Path;

use leasehold_model::Chance;

use crate::pages::Map;
use crate::prompt::Prompt;

/// What was changed.
pub struct Changed {
    /// In words, for a failure.
    pub text: String,
    /// The table or index, where it is one alone.
    pub tree: Option<String>,
}

/// What counts in the good file.
pub async fn map(path: &Path, file: &[u8]) -> Map {
    let mut prompt = Prompt::file(path).await;
    let sql = "SELECT name, rootpage FROM sqlite_master WHERE rootpage > 0 ORDER BY rootpage";
    let roots = prompt.pairs(sql).await;
    prompt.close().await;
    let roots: Vec<(String, usize)> = roots
        .into_iter()
        .map(|(name, root)| (name, usize::try_from(root).unwrap()))
        .collect();
    let map = Map::of(file, &roots);
    assert!(map.bytes.len() > file.len() / 3, "much counts");
    map
}

/// A changed copy: in most, a bit; in others, pages.
pub fn change(file: &[u8], map: &Map, chance: &mut Chance) -> (Changed, Vec<u8>) {
    match chance.below(10) {
        0 => cut(file, map, chance),
        1 => zero(file, map, chance),
        2 => swap(file, map, chance),
        _ => flip(file, map, chance),
    }
}

fn flip(file: &[u8], map: &Map, chance: &mut Chance) -> (Changed, Vec<u8>) {
    let (byte, tree) = chance.pick(&map.bytes).unwrap().clone();
    let bit = chance.below(8);
    let mut changed = file.to_vec();
    changed[byte] ^= 1 << bit;
    let what = Changed {
        text: format!(
            "bit {bit} of byte {} in page {} of {tree}",
            byte % map.size,
            byte / map.size + 1
        ),
        tree: Some(tree),
    };
    (what, changed)
}

fn cut(file: &[u8], map: &Map, chance: &mut Chance) -> (Changed, Vec<u8>) {
    let pages = u64::try_from(file.len() / map.size).unwrap();
    let whole = usize::try_from(chance.below(pages)).unwrap() * map.size;
    // half of them end within a page
    let more = usize::try_from(chance.below(2)).unwrap() * 1777;
    let what = Changed {
        text: format!("only the first {} bytes", whole + more),
        tree: None,
    };
    (what, file[..whole + more].to_vec())
}

/// A page of which something counts.
fn counting(map: &Map, chance: &mut Chance) -> (usize, String) {
    let counting: Vec<(usize, String)> = map
        .pages
        .iter()
        .filter(|(_, page)| page.counts)
        .map(|(number, page)| (*number, page.tree.clone()))
        .collect();
    chance.pick(&counting).unwrap().clone()
}

fn zero(file: &[u8], map: &Map, chance: &mut Chance) -> (Changed, Vec<u8>) {
    let (page, tree) = counting(map, chance);
    let mut changed = file.to_vec();
    changed[map.place(page)].fill(0);
    let what = Changed {
        text: format!("page {page} of {tree}, zeroed"),
        tree: Some(tree),
    };
    (what, changed)
}

fn swap(file: &[u8], map: &Map, chance: &mut Chance) -> (Changed, Vec<u8>) {
    let (page, tree) = counting(map, chance);
    let others: Vec<usize> = map
        .pages
        .keys()
        .copied()
        .filter(|other| file[map.place(*other)] != file[map.place(page)])
        .collect();
    let other = *chance.pick(&others).unwrap();
    let mut changed = file.to_vec();
    changed[map.place(page)].copy_from_slice(&file[map.place(other)]);
    changed[map.place(other)].copy_from_slice(&file[map.place(page)]);
    let what = Changed {
        text: format!(
            "page {page} of {tree} and page {other} of {}, swapped",
            map.pages[&other].tree
        ),
        tree: Some(tree),
    };
    (what, changed)
}
