/**
 * As much of CloudWatch's metric math as the alarms use, for one period: what has no data in it makes what is computed of it
 * missing, and so does a division by zero.
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
 */
type Value = number | undefined;

const TOKEN = /\s*(>=|[-+*/(),[\]>]|\d+(?:\.\d+)?|[A-Za-z]\w*)/y;

const OPERATORS: Readonly<Record<string, readonly [binding: number, of: (a: number, b: number) => Value]>> = {
  '>': [1, (a, b) => Number(a > b)],
  '>=': [1, (a, b) => Number(a >= b)],
  '+': [2, (a, b) => a + b],
  '*': [3, (a, b) => a * b],
  '/': [3, (a, b) => (b === 0 ? undefined : a / b)],
};

const FUNCTIONS: Readonly<Record<string, (...args: Value[]) => Value>> = {
  FILL: (value, unless) => value ?? unless,
  IF: (condition, yes, no) => (condition === undefined ? undefined : condition === 0 ? no : yes),
  MIN: (...values) => Math.min(...values.filter((value) => value !== undefined)),
};

/** @param data what each metric has in the period; what is not named has nothing */
export function evaluate(expression: string, data: Readonly<Record<string, number>>): Value {
  const tokens = tokensOf(expression);
  const take = (expected?: string): string => {
    const token = tokens.shift();
    if (token === undefined || (expected !== undefined && token !== expected)) {
      throw new Error(`${expected ?? 'more'} is missing in ${expression}`);
    }
    return token;
  };
  const list = (end: string): Value[] => {
    const values: Value[] = [];
    for (let token = ','; token !== end; token = take(tokens[0] === end ? end : ',')) {
      if (tokens[0] !== '[') values.push(sum(0));
      else {
        take('[');
        values.push(...list(']'));
      }
    }
    return values;
  };
  const term = (): Value => {
    const token = take();
    if (/^\d/.test(token)) return Number(token);
    if (token === '(') {
      const value = sum(0);
      take(')');
      return value;
    }
    const called = FUNCTIONS[token];
    if (called === undefined) return data[token];
    take('(');
    return called(...list(')'));
  };
  const sum = (least: number): Value => {
    let left = term();
    for (
      let next = OPERATORS[tokens[0] ?? ''];
      next !== undefined && next[0] > least;
      next = OPERATORS[tokens[0] ?? '']
    ) {
      take();
      const right = sum(next[0]);
      left = left === undefined || right === undefined ? undefined : next[1](left, right);
    }
    return left;
  };
  const value = sum(0);
  if (tokens.length > 0) throw new Error(`${tokens.join(' ')} is left of ${expression}`);
  return value;
}

function tokensOf(expression: string): string[] {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < expression.trimEnd().length) {
    const at = TOKEN.lastIndex;
    const token = TOKEN.exec(expression)?.[1];
    if (token === undefined) throw new Error(`${expression.slice(at)} is nothing that is known here`);
    tokens.push(token);
  }
  return tokens;
}
