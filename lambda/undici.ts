// A module of its own, so that the bundle loads it, and only what is used of it, when it is first needed.
export { Pool } from 'undici';
