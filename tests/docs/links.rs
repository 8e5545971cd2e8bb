//! Links within the documents lead somewhere.

use std::path::Path;

use crate::markdown::{documents, root};

#[test]
fn links_lead_somewhere() {
    let documents = documents();
    let mut count = 0;
    for document in &documents {
        let folder = Path::new(&document.name).parent().expect("a folder");
        for link in document.links() {
            if link.starts_with("https://") {
                continue;
            }
            count += 1;
            let place = format!("{}: {link}", document.name);
            let (file, anchor) = match link.split_once('#') {
                Some((file, anchor)) => (file, Some(anchor)),
                None => (link, None),
            };
            let target = if file.is_empty() {
                root().join(&document.name)
            } else {
                root().join(folder).join(file)
            };
            assert!(target.exists(), "{place}: there is no such file");
            let Some(anchor) = anchor else {
                continue;
            };
            let target = target.canonicalize().expect("it exists");
            let mut others = documents.iter();
            let named = others.find(|other| {
                let path = root().join(&other.name).canonicalize();
                path.is_ok_and(|path| path == target)
            });
            let anchors = named.expect("anchors are for documents").anchors();
            assert!(
                anchors.iter().any(|known| known == anchor),
                "{place}: there is no such heading"
            );
        }
    }
    assert!(count > 10, "links are found");
}
