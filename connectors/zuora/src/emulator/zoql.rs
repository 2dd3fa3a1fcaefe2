//! Export ZOQL as text: a small parser for what extractors send.
//!
//! `select … from X [where …] [order by …] [limit n | limit offset,n]` with own, joined and starred fields, aliases,
//! and the aggregates without groups. Groups and functions of dates are refused, as text that the grammar does not know.

/// Most characters of a query.
pub(super) const MAX_QUERY_CHARS: usize = 20_000;

/// Deepest nesting of conditions.
const MAX_DEPTH: usize = 50;

/// A parsed query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) select: Vec<Item>,
    pub(super) object: String,
    pub(super) filter: Option<Condition>,
    /// Names, and whether descending.
    pub(super) order: Vec<(String, bool)>,
    pub(super) limit: Option<u64>,
    pub(super) offset: u64,
}

/// What is selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// `*`.
    All,
    /// `Account.*`.
    AllOf(String),
    Field {
        name: String,
        alias: Option<String>,
    },
    Aggregate {
        function: Function,
        /// `None` for `count(*)`.
        name: Option<String>,
        alias: Option<String>,
    },
}

/// An aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Count,
    Min,
    Max,
    Sum,
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Compare {
        name: String,
        operator: Operator,
        operand: Operand,
    },
    /// `is null`, or `is not null`.
    Null {
        name: String,
        not: bool,
    },
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
}

/// What a field is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operand {
    Text(String),
    Number(String),
    Boolean(bool),
    Null,
    Field(String),
}

/// Parses a query; the error is a sentence.
pub(super) fn parse(text: &str) -> Result<Query, String> {
    if text.chars().count() > MAX_QUERY_CHARS {
        return Err(format!(
            "The query is longer than {MAX_QUERY_CHARS} characters"
        ));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser {
        tokens: &tokens,
        next: 0,
        depth: 0,
    };
    parser.query()
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Number(String),
    Symbol(&'static str),
}

const SYMBOLS: [&str; 13] = [
    "<=", ">=", "!=", "<>", "=", "<", ">", "(", ")", ",", "*", "\"", ";",
];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = if first == '\'' {
            quoted(rest, '\'').ok_or_else(|| "A string is not closed".to_owned())?
        } else if first == '"' {
            quoted(rest, '"').ok_or_else(|| "A string is not closed".to_owned())?
        } else if first.is_ascii_digit()
            || (first == '-' && rest.chars().nth(1).is_some_and(|c| c.is_ascii_digit()))
        {
            let length = rest
                .char_indices()
                .skip(1)
                .find(|(_, c)| !(c.is_ascii_digit() || *c == '.'))
                .map_or(rest.len(), |(at, _)| at);
            (Token::Number(part(rest, length)), length)
        } else if first.is_alphanumeric() || first == '_' {
            let length = rest
                .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.')))
                .unwrap_or(rest.len());
            (Token::Word(part(rest, length)), length)
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            (Token::Symbol(symbol), symbol.len())
        } else {
            return Err(format!("Unexpected character {first}"));
        };
        tokens.push(token);
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    Ok(tokens)
}

fn part(text: &str, length: usize) -> String {
    text.get(..length).unwrap_or(text).to_owned()
}

/// A string at the start of `text`: quotes inside are doubled, or escaped by a backslash as the older calls do.
fn quoted(text: &str, quote: char) -> Option<(Token, usize)> {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character == '\\' && characters.peek().is_some_and(|(_, next)| *next == quote) {
            value.push(quote);
            characters.next();
        } else if character != quote {
            value.push(character);
        } else if characters.peek().is_some_and(|(_, next)| *next == quote) {
            value.push(quote);
            characters.next();
        } else {
            return Some((Token::Text(value), at + 1));
        }
    }
    None
}

struct Parser<'a> {
    tokens: &'a [Token],
    next: usize,
    depth: usize,
}

type Parsed<T> = Result<T, String>;

impl Parser<'_> {
    fn query(&mut self) -> Parsed<Query> {
        self.expect("select")?;
        let mut select = vec![self.item()?];
        while self.accept(",") {
            select.push(self.item()?);
        }
        self.expect("from")?;
        let object = self.name()?;
        let mut query = Query {
            select,
            object,
            filter: None,
            order: Vec::new(),
            limit: None,
            offset: 0,
        };
        if self.accept("where") {
            query.filter = Some(self.any()?);
        }
        if self.accept("order") {
            self.expect("by")?;
            loop {
                let name = self.name()?;
                let descending = !self.accept("asc") && self.accept("desc");
                query.order.push((name, descending));
                if !self.accept(",") {
                    break;
                }
            }
        }
        if self.accept("limit") {
            let first = self.count()?;
            if self.accept(",") {
                query.offset = first;
                query.limit = Some(self.count()?);
            } else {
                query.limit = Some(first);
            }
        }
        let _semicolon: bool = self.accept(";");
        match self.peek() {
            None => Ok(query),
            Some(_) => Err(self.unexpected()),
        }
    }

    fn item(&mut self) -> Parsed<Item> {
        if self.accept("*") {
            return Ok(Item::All);
        }
        let name = self.name()?;
        if let Some(relation) = name.strip_suffix('.') {
            self.expect("*")?;
            return Ok(Item::AllOf(relation.to_owned()));
        }
        let function = match name.to_ascii_lowercase().as_str() {
            "count" => Some(Function::Count),
            "min" => Some(Function::Min),
            "max" => Some(Function::Max),
            "sum" => Some(Function::Sum),
            _ => None,
        };
        if let Some(function) = function
            && self.accept("(")
        {
            let name = if function == Function::Count && self.accept("*") {
                None
            } else {
                Some(self.name()?)
            };
            self.expect(")")?;
            let alias = self.alias()?;
            return Ok(Item::Aggregate {
                function,
                name,
                alias,
            });
        }
        let alias = self.alias()?;
        Ok(Item::Field { name, alias })
    }

    fn alias(&mut self) -> Parsed<Option<String>> {
        if !self.accept("as") {
            return Ok(None);
        }
        match self.peek() {
            Some(Token::Text(text) | Token::Word(text)) => {
                let alias = text.clone();
                self.next += 1;
                Ok(Some(alias))
            }
            _ => Err(self.unexpected()),
        }
    }

    /// Parts joined by `or`.
    fn any(&mut self) -> Parsed<Condition> {
        let mut parts = vec![self.all()?];
        while self.accept("or") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 {
            parts.remove(0)
        } else {
            Condition::Or(parts)
        })
    }

    /// Parts joined by `and`.
    fn all(&mut self) -> Parsed<Condition> {
        let mut parts = vec![self.factor()?];
        while self.accept("and") {
            parts.push(self.factor()?);
        }
        Ok(if parts.len() == 1 {
            parts.remove(0)
        } else {
            Condition::And(parts)
        })
    }

    fn factor(&mut self) -> Parsed<Condition> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("The condition is nested too deeply".to_owned());
        }
        let parsed = if self.accept("not") {
            Condition::Not(Box::new(self.factor()?))
        } else if self.accept("(") {
            let inner = self.any()?;
            self.expect(")")?;
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(parsed)
    }

    fn comparison(&mut self) -> Parsed<Condition> {
        let name = self.name()?;
        if self.accept("is") {
            let not = self.accept("not");
            self.expect("null")?;
            return Ok(Condition::Null { name, not });
        }
        let operator = if self.accept("=") {
            Operator::Equal
        } else if self.accept("!=") || self.accept("<>") {
            Operator::NotEqual
        } else if self.accept("<=") {
            Operator::LessOrEqual
        } else if self.accept(">=") {
            Operator::GreaterOrEqual
        } else if self.accept("<") {
            Operator::Less
        } else if self.accept(">") {
            Operator::Greater
        } else if self.accept("like") {
            Operator::Like
        } else {
            return Err(self.unexpected());
        };
        let operand = match self.peek().cloned() {
            Some(Token::Text(text)) => Operand::Text(text),
            Some(Token::Number(text)) => Operand::Number(text),
            Some(Token::Word(word)) => match word.to_ascii_lowercase().as_str() {
                "true" => Operand::Boolean(true),
                "false" => Operand::Boolean(false),
                "null" => Operand::Null,
                _ => Operand::Field(word),
            },
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        Ok(Condition::Compare {
            name,
            operator,
            operand,
        })
    }

    fn count(&mut self) -> Parsed<u64> {
        match self.peek() {
            Some(Token::Number(text)) => {
                let count = text.parse().map_err(|_| self.unexpected())?;
                self.next += 1;
                Ok(count)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn name(&mut self) -> Parsed<String> {
        match self.peek() {
            Some(Token::Word(word)) if !is_reserved(word) => {
                let name = word.clone();
                self.next += 1;
                Ok(name)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    /// Takes a keyword or symbol if it is next.
    fn accept(&mut self, wanted: &str) -> bool {
        let is_next = match self.peek() {
            Some(Token::Word(word)) => word.eq_ignore_ascii_case(wanted),
            Some(Token::Symbol(symbol)) => *symbol == wanted,
            _ => false,
        };
        self.next += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, wanted: &str) -> Parsed<()> {
        if self.accept(wanted) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    fn unexpected(&self) -> String {
        match self.peek() {
            None => "Unexpected end of the query".to_owned(),
            Some(Token::Word(text) | Token::Number(text)) => {
                format!("Unexpected token {text}")
            }
            Some(Token::Text(text)) => format!("Unexpected token '{text}'"),
            Some(Token::Symbol(symbol)) => format!("Unexpected token {symbol}"),
        }
    }
}

fn is_reserved(word: &str) -> bool {
    const WORDS: [&str; 10] = [
        "select", "from", "where", "and", "or", "not", "group", "by", "having", "limit",
    ];
    WORDS.iter().any(|known| word.eq_ignore_ascii_case(known))
}
