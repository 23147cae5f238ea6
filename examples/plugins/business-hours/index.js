// Outside business hours, answers who writes (mode `answer`) or lets nothing be sent (mode `block`).

const SPAN = /^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]|24):([0-5]\d)$/;

function isOpen(config, at) {
  const parts = new Intl.DateTimeFormat('en-US', {
    timeZone: config.timeZone || 'UTC', weekday: 'short', hour: '2-digit', minute: '2-digit', hour12: false,
  }).formatToParts(at);
  const part = (type) => parts.find((found) => found.type === type).value;
  const span = SPAN.exec((config.hours || {})[part('weekday').toLowerCase()] || '');
  if (!span) return false;
  const minute = (Number(part('hour')) % 24) * 60 + Number(part('minute'));
  return minute >= Number(span[1]) * 60 + Number(span[2]) && minute < Number(span[3]) * 60 + Number(span[4]);
}

function check(config) {
  new Intl.DateTimeFormat('en-US', { timeZone: config.timeZone || 'UTC' });
  for (const [day, span] of Object.entries(config.hours || {})) {
    if (span && !SPAN.test(span)) throw new Error(`hours.${day} must look like 09:00-17:00, not ${span}`);
  }
}

module.exports = class BusinessHours {
  async onEnable(ctx) {
    check(ctx.config);
    ctx.registerHook('message:sending', (hook) => {
      const config = ctx.config;
      const { chatId } = hook.data.input;
      const stays = config.mode !== 'block' || isOpen(config, hook.timestamp) || (config.exempt || []).includes(chatId);
      return { continue: stays };
    }, 50);
    ctx.registerHook('message:received', async (hook) => {
      const config = ctx.config;
      const message = hook.data;
      if (config.mode === 'block' || message.fromMe || message.isGroup || isOpen(config, hook.timestamp)) return { continue: true };
      const memory = ctx.storage.forSession(hook.sessionId);
      const now = hook.timestamp.getTime();
      const last = (await memory.get(message.chatId)) ?? 0;
      if (now - last < (config.cooldownSec ?? 3600) * 1000) return { continue: true };
      await memory.set(message.chatId, now);
      await ctx.messages.sendText(hook.sessionId, message.chatId, config.reply);
      return { continue: false };
    }, 95);
  }

  async onConfigChange(ctx, config) {
    check(config);
  }
};
