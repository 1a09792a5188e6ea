import js from '@eslint/js';
import tseslint from 'typescript-eslint';

// Only lambda/trust says what a time means now: a clock may be wrong, and one place must know that.
const TIME =
  ':matches(Identifier[name=/^now$|(At|Until|Since)$/], MemberExpression[property.name=/(At|Until|Since|By)$/], CallExpression[callee.property.name="now"])';
const COMPARISON = 'BinaryExpression[operator=/^[<>]=?$/]';
const timeComparisons = [`${COMPARISON} > ${TIME}`, `${COMPARISON} > BinaryExpression[operator=/^[+-]$/] > ${TIME}`];

export default tseslint.config(
  { ignores: ['dist/', 'cdk.out/', 'coverage/', '.peers/', 'node_modules/'] },
  js.configs.recommended,
  tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: { allowDefaultProject: ['eslint.config.js'] } } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      // A promise that nobody waits for may be frozen with its environment.
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      // Arrow functions whose result is nobody's concern are common and clear.
      '@typescript-eslint/no-confusing-void-expression': [
        'error',
        { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true },
      ],
      // Numbers in messages read well as they are.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-empty-function': 'off',
      'no-console': 'error',
    },
  },
  { files: ['infra/**', 'test/**'], rules: { 'no-console': 'off' } },
  {
    files: ['lambda/**'],
    ignores: ['lambda/trust/**'],
    rules: {
      'no-restricted-syntax': [
        'error',
        ...timeComparisons.map((selector) => ({ selector, message: 'Times are compared in lambda/trust alone.' })),
      ],
    },
  },
  {
    // Tests call the functions of expect and of the parts freely.
    files: ['test/**'],
    rules: { '@typescript-eslint/no-non-null-assertion': 'off', '@typescript-eslint/unbound-method': 'off' },
  },
  { files: ['eslint.config.js'], extends: [tseslint.configs.disableTypeChecked] },
);
