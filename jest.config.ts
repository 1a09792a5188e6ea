import type { Config } from 'jest';

const config: Config = {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  // Node runs TypeScript itself.
  transform: {},
  extensionsToTreatAsEsm: ['.ts'],
  globalSetup: '<rootDir>/test/reporters/record-folder.ts',
  reporters: ['default', '<rootDir>/test/reporters/secret-search.ts', '<rootDir>/test/reporters/fault-table.ts'],
  collectCoverageFrom: ['lambda/**/*.ts'],
  // What a test that hangs is given; a machine that is busy with others must not fail one that does not.
  testTimeout: 30_000,
  coverageProvider: 'v8',
  coverageThreshold: { global: { branches: 90 } },
};
export default config;
