-- How many chats an account may begin, as WhatsApp counts them: JSON.
alter table session add column new_chat_quota text;
