//! What stands twice in a file: TOML says where, and not what nor where it stood first.

/// Which key or section it is, and the line where it stood first, for a duplicate that begins at the byte `offset`.
pub(super) fn words(text: &str, offset: usize) -> Option<String> {
    let before = text.get(..text.floor_char_boundary(offset))?;
    let number = before.matches('\n').count();
    let lines: Vec<&str> = text.lines().collect();
    let name = name_of(lines.get(number)?)?;
    let is_section = name.starts_with('[');
    let earlier = lines.iter().enumerate().take(number).rev();
    // A key is looked for in its own section.
    let within = earlier.take_while(|(_, line)| is_section || !line.trim_start().starts_with('['));
    let first = within.filter(|(_, line)| name_of(line).as_deref() == Some(name.as_str())).last()?.0 + 1;
    let remedy = if is_section { "put its keys there" } else { "keep one of them" };
    Some(format!("`{name}` stands in line {first} already; {remedy}"))
}

/// The name of the key or of the section that a line begins.
fn name_of(line: &str) -> Option<String> {
    let line = line.trim_start();
    if line.starts_with('[') {
        let (header, _) = line.split_once(']')?;
        return Some(format!("{}]", header.split_whitespace().collect::<String>()));
    }
    let (key, _) = line.split_once('=')?;
    (!line.starts_with('#')).then(|| key.trim().trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_looked_for_in_its_own_section_and_a_section_everywhere() {
        let file =
            "[run]\nurl = 1\n\n[chain]\n# url = 2\nurl = 3\n\n\"url\" = 4\n [ run ] # again\nurl = 5\n";
        let words = |of: &str| words(file, file.find(of).unwrap()).unwrap_or_default();
        assert_eq!(words("\"url\""), "`url` stands in line 6 already; keep one of them");
        assert_eq!(words("[ run ]"), "`[run]` stands in line 1 already; put its keys there");
        assert_eq!(words("url = 5"), "");
        assert_eq!(super::words("", 9), None);
    }
}
