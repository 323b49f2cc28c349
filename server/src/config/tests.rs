use super::*;

const EXAMPLE: &str = include_str!("../../../assets/sampand.example.toml");

fn parse(text: &str) -> Result<Settings, String> {
    Settings::parse(text, Path::new("c.toml")).map_err(|error| error.to_string())
}

#[test]
fn nothing_written_is_the_defaults() {
    assert_eq!(parse(""), Ok(Settings::default()));
}

/// CONTRACT: running requests get 10 s when the server stops. DESIGN 4: 10 s from accept to logged in.
#[test]
fn what_cannot_be_set_is_as_promised() {
    let Bounds { grace, login_deadline, .. } = Bounds::default();
    assert_eq!((grace, login_deadline), (Duration::from_secs(10), Duration::from_secs(10)));
}

/// Every key stands in the example as `#key = default`, and without the `#` it is accepted.
#[test]
fn the_example_names_every_key_with_its_default() {
    assert_eq!(parse(EXAMPLE), Ok(Settings::default()), "as shipped, it sets nothing");
    let is_setting = |line: &&str| {
        line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_lowercase()))
    };
    let settings: Vec<&str> = EXAMPLE.lines().filter(is_setting).collect();
    let uncommented: Vec<&str> = settings.iter().map(|line| &line[1..]).collect();
    let listening = Listen::At(vec![Listen::DUAL_STACK]);
    let expected = Settings { listen: listening, ..Settings::default() };
    assert_eq!(parse(&uncommented.join("\n")), Ok(expected));

    let named: Vec<&str> =
        uncommented.iter().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key).collect();
    let unknown = parse("no_such_key = 1").unwrap_err();
    let known: Vec<&str> = unknown.split('`').skip(1).step_by(2).skip(1).collect();
    assert!(!known.is_empty(), "{unknown}");
    assert_eq!(named, known, "in the order of the code");
}

#[test]
fn an_error_names_line_and_key() {
    let cases = [
        ("data = '/d'\nlisten_on = 'x'", "2", "listen_on"),
        ("data = 'here'", "line 1", "data: write an absolute path"),
        ("log = 'text'\n\ndefault_quota = '10 apples'", "line 3", "default_quota: `10 apples`"),
        ("listen = ['[::]:1', 'localhost']", "line 1", "listen: `localhost`"),
        ("listen = []", "line 1", "listen: name at least one"),
        ("durability = 'maybe'", "1", "maybe"),
        ("max_requests = 0", "1", "max_requests"),
        ("idle_seconds = 1", "line 1", "idle_seconds: at least 10 seconds"),
    ];
    for (text, line, key) in cases {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with("c.toml: "), "{error}");
        assert!(error.contains(line) && error.contains(key), "{error}");
    }
}

#[test]
fn values_are_read() {
    let settings = parse(
        "listen = '127.0.0.1:0'\ndefault_quota = '10GiB'\ndefault_max_files = '5k'\n\
         durability = 'relaxed'\nlog = 'json'\ndisk_floor = 'none'\nidle_seconds = 30",
    )
    .unwrap();
    assert_eq!(settings.listen, Listen::At(vec!["127.0.0.1:0".parse().unwrap()]));
    let quota = QuotaLimits { bytes: Some(10 << 30), entries: Some(5000) };
    assert_eq!(settings.default_quota, quota);
    assert_eq!(settings.durability, Durability::Relaxed);
    assert_eq!(settings.log, LogFormat::Json);
    assert_eq!(settings.disk_floor, 0);
    assert_eq!(settings.bounds.idle, Duration::from_secs(30));
}

#[test]
fn a_flag_beats_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(&file, "data = '/from/file'\nlisten = '127.0.0.1:1'\nlog = 'json'").unwrap();
    let overrides = Overrides { config: Some(file), ..Overrides::default() };
    let from_file = Settings::load(&overrides).unwrap();
    assert_eq!(from_file.data, Path::new("/from/file"));

    let address = "127.0.0.1:2".parse().unwrap();
    let overrides = Overrides {
        data: Some("/from/flag".into()),
        listen: vec![address],
        log: Some(LogFormat::Text),
        ..overrides
    };
    let over = Settings::load(&overrides).unwrap();
    assert_eq!(over.data, Path::new("/from/flag"));
    assert_eq!(over.listen, Listen::At(vec![address]));
    assert_eq!(over.log, LogFormat::Text);
}

#[test]
fn a_named_file_must_be_there() {
    let overrides = Overrides { config: Some("/no/such.toml".into()), ..Overrides::default() };
    let error = Settings::load(&overrides).unwrap_err().to_string();
    assert!(error.contains("/no/such.toml"), "{error}");
}
