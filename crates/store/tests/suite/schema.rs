use std::collections::BTreeMap;

/// `table -> columns` of a migration, read from its text.
fn columns(sql: &str) -> BTreeMap<String, Vec<String>> {
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for statement in sql.split("CREATE TABLE ").skip(1) {
        let (name, rest) = statement.split_once(" (").unwrap();
        let body = rest.split_once("\n)").unwrap().0;
        let is_column = |line: &&str| line.starts_with(|c: char| c.is_ascii_lowercase());
        let columns = body.lines().map(str::trim).filter(is_column);
        let names = columns.map(|line| line.split_once(' ').unwrap().0.to_owned()).collect();
        tables.insert(name.to_owned(), names);
    }
    for statement in sql.split("ALTER TABLE ").skip(1) {
        let Some((name, rest)) = statement.split_once(" ADD COLUMN ") else { continue };
        let column = rest.split([' ', ';']).next().unwrap();
        tables.entry(name.to_owned()).or_default().push(column.to_owned());
    }
    tables
}

#[test]
fn both_databases_have_the_same_tables_and_columns_under_the_same_numbers() {
    let read = |database: &str| {
        let dir = format!("{}/migrations/{database}", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        files
            .map(|path| {
                let sql = std::fs::read_to_string(&path).unwrap();
                (path.file_name().unwrap().to_owned(), columns(&sql))
            })
            .collect::<BTreeMap<_, _>>()
    };
    let (sqlite, postgres) = (read("sqlite"), read("postgres"));
    assert!(sqlite.values().next().unwrap().contains_key("records"));
    assert_eq!(sqlite, postgres);
}
