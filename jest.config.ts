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
  coverageProvider: 'v8',
  coverageThreshold: { global: { branches: 90 } },
};
export default config;
