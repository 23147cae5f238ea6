import type { Catalogue } from '../state/text';
import { house } from './es/house';
import { numbers } from './es/numbers';
import { talk } from './es/talk';
import { traffic } from './es/traffic';

export const texts: Catalogue = { ...numbers, ...traffic, ...talk, ...house };
