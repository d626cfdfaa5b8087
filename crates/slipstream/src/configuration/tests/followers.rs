//! What followers are refused for.

use super::*;

#[test]
fn wrong_policies_are_told() {
    let follower = |lines: &str| only(&format!("[[follower]]\nname = 'a'\n{lines}"));
    for (line, part) in [
        ("ratio = 0", "from 0.000001 to 100"),
        ("ratio = 101", "from 0.000001 to 100"),
        ("ratio = 0.0000001", "in steps of 0.000001"),
        ("ratio = inf", "a plain number"),
        ("ratio = nan", "a plain number"),
        ("ratio = '10 %'", "without quotes"),
        ("fixed = '25 USD'", "dollars from 0.000001"),
        ("fixed = -5", "dollars from 0.000001"),
        ("fixed = 0.0000001", "dollars from 0.000001"),
        ("fixed = 99999999999999", "to 1000000000, as a plain number"),
    ] {
        let told = follower(line);
        assert!(told.starts_with("3:") && told.contains(part), "{line}: {told}");
    }
    for (line, part) in [
        ("price_to = 1.01", "from 0 to 1"),
        ("slippage_to_leader = 5", "from 0 to 1, in steps of 0.0001"),
        ("slippage_to_book = 0.00005", "in steps of 0.0001"),
        ("below_minimum = 'round'", "must be \"skip\" or \"raise\""),
        ("maximum_age = '0s'", "from \"1s\" to \"24h\""),
        ("name_ = ''", "did you mean `name`?"),
        ("cap_leder = 5", "did you mean `cap_leader`?"),
    ] {
        let told = follower(&format!("fixed = 5\n{line}"));
        assert!(told.starts_with("4:") && told.contains(part), "{line}: {told}");
    }
    assert!(follower("ratio = 1\nfixed = 1").starts_with("4:9 [[follower]] fixed | stands beside `ratio`"));
    assert!(follower("").starts_with("1:1 [[follower]] | does not say how much to buy"));
    assert!(follower("fixed = 1\nprice_from = 0.9\nprice_to = 0.1").starts_with("4:14 "));
    assert!(only("[[follower]]\nfixed = 1").starts_with("1:1 [[follower]] | has no name"));
    for name in ["", " ", "tab\\t", "a name with far more letters than fit a table"] {
        let told = only(&format!("[[follower]]\nfixed = 1\nname = \"{name}\""));
        assert!(told.starts_with("3:8 ") && told.contains("1 to 40 letters"), "{told}");
    }
}

#[test]
fn a_name_is_of_one_follower() {
    let one = |name: &str| format!("[[follower]]\nname = '{name}'\nfixed = 1\n");
    let told = only(&[one("a"), one("b"), one("a")].concat());
    let words =
        "8:8 [[follower]] name = \"a\" | is the name of another one, in slipstream.toml:2; give each its own";
    assert_eq!(told, words);
    // Beside whatever else is wrong with either.
    assert_eq!(bad("[[follower]]\nname = 'a'\n[[follower]]\nname = 'a'\n").len(), 3);
}

#[test]
fn followers_that_would_be_left_out_are_a_mistake_wherever_the_number_comes_from() {
    let two = "[[follower]]\nname = 'a'\nfixed = 1\n[[follower]]\nname = 'b'\nfixed = 1\n";
    let file = only(&format!("[demo]\nfollowers = 1\n{two}"));
    assert_eq!(file, "2:13 [demo] followers | 1 wanted, but 2 described; ask for 2 or more, or leave it out");
    let environment = bad_with(two, &[("SLIPSTREAM_DEMO_FOLLOWERS", "1")]);
    assert!(environment[0].starts_with("Environment SLIPSTREAM_DEMO_FOLLOWERS | 1 wanted"));
    let flag = good(two).follower_count(Some(1)).unwrap_err();
    assert!(flag.to_string().contains("  command line  --followers 1\n      1 wanted, but 2 described"));
    assert_eq!(good(two).follower_count(Some(3)).unwrap(), 3);
    let many = (0..201).map(|number| format!("[[follower]]\nname = '{number}'\nfixed = 1\n"));
    let many = only(&many.collect::<String>());
    assert!(many.contains("201 followers are described, 200 are possible"), "{many}");
}
