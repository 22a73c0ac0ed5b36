//! A lexer that is just good enough: it tells code from comments, strings and characters.

/// One token of code. String and character literals are reduced to `""`.
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// A Rust file, taken apart. Paths are relative to the repository, with `/`.
pub(crate) struct Rust {
    pub(crate) path: String,
    pub(crate) lines: usize,
    pub(crate) tokens: Vec<Token>,
    /// One entry per line of comment.
    pub(crate) comments: Vec<(usize, String)>,
}

impl Rust {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let mut lexer = Lexer {
            chars: text.chars().collect(),
            at: 0,
            line: 1,
            tokens: Vec::new(),
            comments: Vec::new(),
        };
        while lexer.at < lexer.chars.len() {
            lexer.step();
        }
        Self {
            path: path.to_owned(),
            lines: text.lines().count(),
            tokens: lexer.tokens,
            comments: lexer.comments,
        }
    }

    /// The text of token `index`, or nothing past either end.
    pub(crate) fn text(&self, index: usize) -> &str {
        self.tokens.get(index).map_or("", |token| &token.text)
    }

    /// Where a sequence of tokens begins.
    pub(crate) fn find(&self, pattern: &[&str]) -> Vec<usize> {
        (0..self.tokens.len())
            .filter(|&start| (0..pattern.len()).all(|k| self.text(start + k) == pattern[k]))
            .collect()
    }

    /// The index of the bracket that closes the one at `open`; the last token if none does.
    pub(crate) fn closing(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        for (index, token) in self.tokens.iter().enumerate().skip(open) {
            match token.text.as_str() {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return index;
            }
        }
        self.tokens.len().saturating_sub(1)
    }

    pub(crate) fn offence(&self, index: usize, what: &str) -> String {
        format!("{}:{}: {what}", self.path, self.tokens[index].line)
    }
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
    comments: Vec<(usize, String)>,
}

impl Lexer {
    fn step(&mut self) {
        let c = self.peek(0);
        if c == '/' && self.peek(1) == '/' {
            self.line_comment();
        } else if c == '/' && self.peek(1) == '*' {
            self.block_comment();
        } else if c == '"' {
            self.string();
        } else if c == '\'' {
            self.quote();
        } else if c.is_alphanumeric() || c == '_' {
            self.word();
        } else if c == ':' && self.peek(1) == ':' {
            self.push("::", self.line);
            self.bump(2);
        } else {
            if !c.is_whitespace() {
                self.push(&c.to_string(), self.line);
            }
            self.bump(1);
        }
    }

    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn bump(&mut self, count: usize) {
        for _ in 0..count {
            self.line += usize::from(self.peek(0) == '\n');
            self.at += 1;
        }
    }

    fn ended(&self) -> bool {
        self.at >= self.chars.len()
    }

    fn push(&mut self, text: &str, line: usize) {
        let text = text.to_owned();
        self.tokens.push(Token { text, line });
    }

    fn line_comment(&mut self) {
        let start = self.at;
        while !self.ended() && self.peek(0) != '\n' {
            self.bump(1);
        }
        let text = self.chars[start..self.at].iter().collect();
        self.comments.push((self.line, text));
    }

    fn block_comment(&mut self) {
        let (start, first) = (self.at, self.line);
        let mut depth = 0_usize;
        while !self.ended() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => {
                    depth += 1;
                    self.bump(2);
                }
                ('*', '/') => {
                    depth -= 1;
                    self.bump(2);
                    if depth == 0 {
                        break;
                    }
                }
                _ => self.bump(1),
            }
        }
        let end = self.at.min(self.chars.len());
        let text: String = self.chars[start..end].iter().collect();
        for (offset, part) in text.lines().enumerate() {
            self.comments.push((first + offset, part.to_owned()));
        }
    }

    /// At an opening `"` that obeys escapes.
    fn string(&mut self) {
        self.push("\"\"", self.line);
        self.bump(1);
        while !self.ended() && self.peek(0) != '"' {
            self.bump(if self.peek(0) == '\\' { 2 } else { 1 });
        }
        self.bump(1);
    }

    /// At the `#` or `"` of a raw string.
    fn raw_string(&mut self) {
        self.push("\"\"", self.line);
        let mut hashes = 0;
        while self.peek(0) == '#' {
            hashes += 1;
            self.bump(1);
        }
        self.bump(1);
        while !self.ended() {
            let closes = self.peek(0) == '"' && (1..=hashes).all(|k| self.peek(k) == '#');
            self.bump(if closes { hashes + 1 } else { 1 });
            if closes {
                break;
            }
        }
    }

    /// A character literal or a lifetime.
    fn quote(&mut self) {
        if self.peek(1) == '\\' {
            self.push("\"\"", self.line);
            self.bump(3);
            while !self.ended() && self.peek(0) != '\'' {
                self.bump(1);
            }
            self.bump(1);
        } else if self.peek(2) == '\'' {
            self.push("\"\"", self.line);
            self.bump(3);
        } else {
            self.push("'", self.line);
            self.bump(1);
        }
    }

    /// An identifier, a keyword, a number, or the prefix of a literal.
    fn word(&mut self) {
        let (start, line) = (self.at, self.line);
        while self.peek(0).is_alphanumeric() || self.peek(0) == '_' {
            self.bump(1);
        }
        let text: String = self.chars[start..self.at].iter().collect();
        let mut hashes = 0;
        while self.peek(hashes) == '#' {
            hashes += 1;
        }
        let quoted = self.peek(hashes) == '"';
        match text.as_str() {
            "r" | "br" | "cr" if quoted => self.raw_string(),
            "r" if hashes == 1 => self.bump(1),
            "b" | "c" if hashes == 0 && quoted => self.string(),
            "b" if self.peek(0) == '\'' => self.quote(),
            _ => self.push(&text, line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rust;

    fn words(text: &str) -> Vec<String> {
        let file = Rust::new("src/a.rs", text);
        file.tokens.into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn literals_are_not_code() {
        assert_eq!(
            words(r#"a("unsafe { \" }", b"x", '{', '\'', b'}')"#).len(),
            12
        );
        assert_eq!(
            words("let s = r##\"unsafe \"# {\"##; end"),
            ["let", "s", "=", "\"\"", ";", "end"]
        );
        assert_eq!(words("fn f<'a>(x: &'a r#type)").last().unwrap(), ")");
        assert_eq!(words("'\\u{7b}' x"), ["\"\"", "x"]);
    }

    #[test]
    fn comments_are_kept_apart_with_their_lines() {
        let file = Rust::new(
            "src/a.rs",
            "a\n// one {\n/* two /* nested\n*/ } */ b \"x\ny\" c",
        );
        let words: Vec<_> = file
            .tokens
            .iter()
            .map(|t| (t.text.as_str(), t.line))
            .collect();
        assert_eq!(words, [("a", 1), ("b", 4), ("\"\"", 4), ("c", 5)]);
        let lines: Vec<_> = file.comments.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 3, 4]);
    }
}
