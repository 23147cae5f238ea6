//! What businesses write: products, and texts with buttons; and the press of a button.

use domain::{
    catalogue::Product,
    content::{Button, ButtonForm, Content, ProductCard},
};
use whatsapp_rust::waproto::whatsapp::{
    self as wa,
    __buffa::oneof::{
        hydrated_template_button::HydratedButton, message::buttons_response_message::Response,
    },
};

/// Buttons of one message; phones show three.
const BUTTONS_MAX: usize = 16;

pub(super) fn read(base: &wa::Message) -> Option<Content> {
    if let Some(message) = base.product_message.as_option() {
        return product(message);
    }
    if let Some(message) = base.buttons_message.as_option() {
        let buttons = message.buttons.iter().take(BUTTONS_MAX).filter_map(|button| {
            let text = button.button_text.as_option()?.display_text.clone()?;
            Some(Button { id: button.button_id.clone()?, text })
        });
        return buttons_below(&message.content_text, buttons.collect(), ButtonForm::Plain);
    }
    if let Some(template) = base.template_message.as_option().and_then(hydrated) {
        let buttons = template.hydrated_buttons.iter().take(BUTTONS_MAX).filter_map(quick_reply);
        let buttons = buttons.collect();
        return buttons_below(&template.hydrated_content_text, buttons, ButtonForm::Template);
    }
    if let Some(reply) = base.buttons_response_message.as_option() {
        let Some(Response::SelectedDisplayText(text)) = &reply.response else { return None };
        let button = Button { id: reply.selected_button_id.clone()?, text: text.clone() };
        return Some(Content::ButtonReply { button, form: ButtonForm::Plain });
    }
    let reply = base.template_button_reply_message.as_option()?;
    let text = reply.selected_display_text.clone()?;
    let button = Button { id: reply.selected_id.clone()?, text };
    Some(Content::ButtonReply { button, form: ButtonForm::Template })
}

/// Without a button it is something else.
fn buttons_below(text: &Option<String>, buttons: Vec<Button>, form: ButtonForm) -> Option<Content> {
    let body = text.clone().unwrap_or_default();
    (!buttons.is_empty()).then_some(Content::Buttons { body, buttons, form })
}

fn hydrated(
    template: &wa::message::TemplateMessage,
) -> Option<&wa::message::template_message::HydratedFourRowTemplate> {
    use wa::__buffa::oneof::message::template_message::Format;
    match &template.format {
        Some(Format::HydratedFourRowTemplate(inner)) => Some(inner.as_ref()),
        _ => template.hydrated_template.as_option(),
    }
}

/// Links and numbers answer nothing.
fn quick_reply(button: &wa::HydratedTemplateButton) -> Option<Button> {
    match button.hydrated_button.as_ref()? {
        HydratedButton::QuickReplyButton(reply) => {
            Some(Button { id: reply.id.clone()?, text: reply.display_text.clone()? })
        }
        _ => None,
    }
}

fn product(message: &wa::message::ProductMessage) -> Option<Content> {
    let shown = message.product.as_option()?;
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let product = Product {
        id: filled(&shown.product_id)?,
        name: shown.title.clone().unwrap_or_default(),
        description: filled(&shown.description),
        price_thousandths: shown.price_amount1000,
        currency: filled(&shown.currency_code),
        image_url: None,
        url: filled(&shown.url),
        retailer_id: filled(&shown.retailer_id),
        is_available: true,
        is_hidden: false,
    };
    let owner = message.business_owner_jid.as_deref().and_then(|jid| jid.parse().ok());
    let body = filled(&message.body);
    Some(Content::Product(Box::new(ProductCard { product, owner, body, picture: None })))
}
