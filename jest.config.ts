import type { Config } from 'jest';

const config: Config = {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  // Node runs TypeScript itself.
  transform: {},
  extensionsToTreatAsEsm: ['.ts'],
  collectCoverageFrom: ['lambda/**/*.ts'],
  coverageProvider: 'v8',
  coverageThreshold: { global: { branches: 90 } },
};
export default config;
