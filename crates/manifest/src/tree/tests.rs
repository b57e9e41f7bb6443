use std::path::Path;

use super::*;

static NO_LINES: Lines = Lines::new();

fn file<'a>(name: &'a str, text: &'a str) -> NewFile<'a> {
    let resource = name.split('.').next().unwrap();
    NewFile {
        name,
        bytes: text.as_bytes(),
        mode: None,
        resource,
        source: "t.yaml.j2",
        secret_lines: &[],
        lines: &NO_LINES,
        digest: Box::leak(Box::default()),
    }
}

fn eu() -> ClusterName {
    "eu".parse().unwrap()
}

const CLEAN: Policy = Policy { clean: true, adopt: false };

fn write_all<'a>(root: &Path, files: Vec<NewFile<'a>>) -> FolderPlan<'a> {
    let tree = Tree::open(root).unwrap();
    let plan = plan(root, &eu(), Placement::default(), files, &|_| true, CLEAN).unwrap();
    tree.apply(&plan).unwrap();
    plan
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn files_are_written_left_alone_changed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("generated");
    let first = write_all(&root, vec![file("a.yaml", "a"), file("b.yaml", "b"), file("c.yaml", "c")]);
    assert_eq!(first.written, ["a.yaml", "b.yaml", "c.yaml"]);
    let again = write_all(&root, vec![file("a.yaml", "a"), file("b.yaml", "b"), file("c.yaml", "c")]);
    assert!(again.is_empty());
    let third = write_all(&root, vec![file("a.yaml", "a"), file("b.yaml", "B")]);
    assert_eq!((third.written, third.unchanged), (vec!["b.yaml"], vec!["a.yaml"]));
    assert_eq!(third.removed, ["c.yaml"]);
    assert_eq!(names(&root), ["eu"]);
    assert_eq!(names(&root.join("eu")), [FILE_NAME, "a.yaml", "b.yaml"]);
    assert_eq!(read(&root.join("eu/b.yaml")), "B");
}

#[test]
fn an_unchanged_file_keeps_its_inode() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    write_all(dir.path(), vec![file("a.yaml", "a"), file("b.yaml", "b")]);
    let inode = |name: &str| fs::metadata(dir.path().join("eu").join(name)).unwrap().ino();
    let before = (inode("a.yaml"), inode("b.yaml"));
    write_all(dir.path(), vec![file("a.yaml", "a"), file("b.yaml", "B")]);
    assert_eq!(inode("a.yaml"), before.0);
    assert_ne!(inode("b.yaml"), before.1);
}

#[test]
fn foreign_files_folders_and_links_are_carried_over() {
    let dir = tempfile::tempdir().unwrap();
    write_all(dir.path(), vec![file("a.yaml", "a")]);
    let eu = dir.path().join("eu");
    fs::write(eu.join("README.md"), "mine").unwrap();
    fs::create_dir(eu.join("notes")).unwrap();
    fs::write(eu.join("notes/x"), "x").unwrap();
    std::os::unix::fs::symlink("README.md", eu.join("link")).unwrap();
    write_all(dir.path(), vec![file("b.yaml", "b")]);
    assert_eq!(names(&eu), [FILE_NAME, "README.md", "b.yaml", "link", "notes"]);
    assert_eq!(read(&eu.join("notes/x")), "x");
    assert_eq!(fs::read_link(eu.join("link")).unwrap(), Path::new("README.md"));
}

#[test]
fn a_foreign_file_is_not_overwritten_unless_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let eu_folder = dir.path().join("eu");
    fs::create_dir(&eu_folder).unwrap();
    fs::write(eu_folder.join("a.yaml"), "theirs").unwrap();
    fs::write(eu_folder.join("b.yaml"), "same").unwrap();
    let files = || vec![file("a.yaml", "a"), file("b.yaml", "same")];
    let refused = plan(dir.path(), &eu(), Placement::default(), files(), &|_| true, CLEAN).unwrap_err();
    assert!(matches!(&refused, TreeError::Foreign { files, .. } if files == &["a.yaml"]), "{refused}");
    let adopt = Policy { adopt: true, ..CLEAN };
    let plan = plan(dir.path(), &eu(), Placement::default(), files(), &|_| true, adopt).unwrap();
    assert_eq!((plan.written.as_slice(), plan.unchanged.as_slice()), (&["a.yaml"][..], &["b.yaml"][..]));
}

#[test]
fn what_a_filter_left_out_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    write_all(dir.path(), vec![file("a.yaml", "a"), file("b.yaml", "b")]);
    let only_a =
        plan(dir.path(), &eu(), Placement::default(), Vec::new(), &|resource| resource == "a", CLEAN)
            .unwrap();
    assert_eq!(only_a.removed, ["a.yaml"]);
    assert!(only_a.index.files.contains_key("b.yaml"));
    let unclean = Policy { clean: false, adopt: false };
    let kept = plan(dir.path(), &eu(), Placement::default(), Vec::new(), &|_| true, unclean).unwrap();
    assert!(kept.is_empty());
}

#[test]
fn a_file_changed_by_hand_is_restored_but_never_removed() {
    let dir = tempfile::tempdir().unwrap();
    write_all(dir.path(), vec![file("a.yaml", "a"), file("b.yaml", "b")]);
    fs::write(dir.path().join("eu/a.yaml"), "edited").unwrap();
    fs::write(dir.path().join("eu/b.yaml"), "edited").unwrap();
    let plan = write_all(dir.path(), vec![file("a.yaml", "a")]);
    assert_eq!(
        (plan.written.as_slice(), plan.kept.as_slice()),
        (&["a.yaml"][..], &["b.yaml".to_owned()][..])
    );
    assert_eq!(read(&dir.path().join("eu/a.yaml")), "a");
    assert_eq!(read(&dir.path().join("eu/b.yaml")), "edited");
}

#[test]
fn a_cluster_that_is_gone_takes_its_files_with_it_but_no_others() {
    let dir = tempfile::tempdir().unwrap();
    write_all(dir.path(), vec![file("a.yaml", "a")]);
    let gone = plan_removal(dir.path(), &eu()).unwrap();
    Tree::open(dir.path()).unwrap().apply(&gone).unwrap();
    assert_eq!(names(dir.path()), [] as [&str; 0]);
    write_all(dir.path(), vec![file("a.yaml", "a")]);
    fs::write(dir.path().join("eu/mine"), "x").unwrap();
    let gone = plan_removal(dir.path(), &eu()).unwrap();
    Tree::open(dir.path()).unwrap().apply(&gone).unwrap();
    assert_eq!(names(&dir.path().join("eu")), [FILE_NAME, "mine"]);
}

#[test]
fn what_a_killed_run_left_is_cleared_away_or_put_back() {
    let dir = tempfile::tempdir().unwrap();
    write_all(dir.path(), vec![file("a.yaml", "a")]);
    fs::create_dir(dir.path().join(".kit-new-eu")).unwrap();
    fs::rename(dir.path().join("eu"), dir.path().join(".kit-old-eu")).unwrap();
    Tree::open(dir.path()).unwrap();
    assert_eq!(names(dir.path()), ["eu"]);
    assert_eq!(read(&dir.path().join("eu/a.yaml")), "a");
}

#[test]
fn a_link_in_place_of_a_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("eu")).unwrap();
    let refused = plan(dir.path(), &eu(), Placement::default(), vec![file("a.yaml", "a")], &|_| true, CLEAN)
        .unwrap_err();
    assert!(matches!(refused, TreeError::NotAFolder { .. }), "{refused}");
}

#[test]
fn the_mode_of_a_copied_file_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let secret = || vec![NewFile { mode: Some(0o600), ..file("a.yaml", "a") }];
    write_all(dir.path(), secret());
    let metadata = fs::metadata(dir.path().join("eu/a.yaml")).unwrap();
    assert_eq!(mode_of(&metadata), 0o600);
    assert!(write_all(dir.path(), secret()).is_empty());
}
