/** The seeds with which long stories are told: one, and three where `STORY_SEEDS=all` asks for them (`npm run test:seeds`). */
export const SEEDS: readonly number[] = process.env['STORY_SEEDS'] === 'all' ? [5, 7, 11] : [5];
